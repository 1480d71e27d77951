// SPDX-License-Identifier: Apache-2.0
// The compiled half of Boost.Asio and Boost.Beast, once, for the files of weights/ and serve/ that
// speak HTTP.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
